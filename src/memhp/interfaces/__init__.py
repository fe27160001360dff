"""What people and programs see of memhp."""
