"""What talks to managed systems. The only room that does I/O to them."""
