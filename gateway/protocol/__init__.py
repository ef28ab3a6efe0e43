"""What OpenAI's and Azure's protocols say: operations, bodies, events. No I/O."""
