"""Records to text: terminal, JUnit. Imports no torch, so that a report renders on any laptop."""
