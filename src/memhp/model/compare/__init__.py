"""One workload under several policies, and what each costs."""
