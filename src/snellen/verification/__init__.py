"""Is it the same encoder there? Golden, reference, candidate; metrics, rules, verdict.

``trial.verify`` puts a candidate on trial. ``rules`` judge a saved record, without torch.
"""
