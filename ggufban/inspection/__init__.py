"""What the model wanted, why it said this, where it went wrong."""
