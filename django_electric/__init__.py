"""Electric's shape sync, embedded in a Django project.

The house, read in the order in which a row travels from Postgres to a browser:

``postgres``      what Postgres says, decoded (no I/O)
``where``         the where-clause engine (no I/O)
``shapes``        what a shape is, and which changes belong in it (no I/O)
``protocol``      what the client says: the HTTP shape protocol (no I/O)
``storage``       shape logs in files
``conf`` ``models`` ``wakeup``  settings, the catalogue of shapes, who wakes whom
``replication``   the worker, the only writer of logs
``web``           the readers: the answers to ``/v1/shape``
"""

__version__ = "0.1.0"
