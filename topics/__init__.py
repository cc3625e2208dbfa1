"""What is on the tape: the records, the topics that carry them, their keys and their wire form. Imports nothing of ours."""
