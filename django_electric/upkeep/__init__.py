"""Upkeep: what whoever runs an installation looks at and does; for commands, checks and the admin.

`examine` reads the facts (settings, Postgres, files), `probes` says what is wrong with them, `remedies`
puts right what can be put right safely. `shapes` and `log` look at shapes, `clearing` takes things away.
"""
