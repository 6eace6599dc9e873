"""What a rule file may say: the schema of a rule and of its options. Knows no detector."""
