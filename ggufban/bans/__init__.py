"""What people write -> which tokens are illegal now."""
