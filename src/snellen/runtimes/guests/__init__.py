"""The original libraries' own models behind the contract, for people who stay with them: optional, never needed."""
