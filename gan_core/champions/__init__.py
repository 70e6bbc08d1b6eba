"""Champions: of each dataset the generator that is best by tests, promoted behind checks, and the way back.

A champion is an artefact of the store, `champion/<dataset>`: a bundle as its files, and why it was promoted.
Each promotion is an artefact of its own that names the one before, so that the store's pointer alone, which
is moved atomically, says who is the champion, and a manifest holds the whole history. `standings` reads the
leaderboard, `challenger` finds who is to be promoted, `checks` hold a promotion back, `promoting` promotes
and goes back, `reigns` is the history, `address` opens `champion:<dataset>`.
"""
