"""Housekeeping of an artefact store: what is there, whether it is whole, what nothing needs, and moving it.

Nothing here makes an artefact. What is removed or brought in is whole or not there for every reader, also
where the process is killed in between.
"""
