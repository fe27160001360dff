"""What a real kernel's page allocator did, recorded, and the model held against it."""
