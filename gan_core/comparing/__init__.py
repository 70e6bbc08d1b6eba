"""Questions answered by measured figures: which of several configurations is best, and whether it is luck.

A question (`gan_core.config.questions`) names experiments; `runs` reads what the store holds of them,
`groups` folds seeds into configurations and finds the keys in which these differ, `differences` tests every
pair, `sentences` says in words what was found, `writing` and `pictures` write it; `answer` and `answers` are
the steps.
"""
