"""What is here, what is wrong with it, and the command that mends it."""
