"""What a grader asks and how its answer is read."""
