"""The series language in which rule files state their own tests, and its runner."""
