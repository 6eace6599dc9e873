"""Points and scores and runs become findings, by rules; one module a detector kind."""
