"""What the tests of the running gateway share: hosts with a simulator behind them, and HTTP over bare sockets."""
