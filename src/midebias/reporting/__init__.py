"""Pictures and pages. They draw what they are given and compute nothing."""
