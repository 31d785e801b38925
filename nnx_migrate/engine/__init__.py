"""Rules at work: what a rule is, what it finds, and how its fixes reach the files."""
