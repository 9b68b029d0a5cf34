"""What is settled: identity, money, time and the state machine."""
