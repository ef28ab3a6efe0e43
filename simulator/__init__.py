"""A simulator of Azure OpenAI and of OpenAI's platform, for tests, demonstrations and load tests.

It behaves as Azure was recorded to behave, answers with made-up text, needs no network and no tokenizer,
and can be told to fail. It is not deployed and the gateway never imports it.
"""
