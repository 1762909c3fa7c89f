"""How the worker and the web processes wake each other: lines of text over one of three roads.

The setting ``WAKEUP`` chooses the road: a Unix socket beside the logs (``web.roads`` and
``replication.socket_server``), Postgres's NOTIFY (`notify`), or a channel layer (`layer`). Whatever
the road, a message is a hint: one that is lost costs at most the poll interval, never data. After
connecting, and after connecting again, a web process looks at the files instead of trusting what it
heard before.

One message is one line of ASCII: a verb and its words.

=========================  ================================================================
worker to web
=========================  ================================================================
``state <s>``              the worker's state, ``starting`` or ``active``; the first line sent
``lsn <n>``                everything committed up to this LSN is published (decimal)
``moved <handle>…``        these shapes have something new to read, in snapshot or log
``gone <handle>…``         these shapes were rotated or deleted
``failed <handle> <json>`` the first rows could not be read: ``{"status": …, "message": …}``
``look``                   something was perhaps not said: look at all that is waited for
=========================  ================================================================

=========================  ================================================================
web to worker
=========================  ================================================================
``registered <handle>``    a row was added to the catalogue
``deleted <handle>``       a row was removed from the catalogue
``hello``                  say again how you are: on roads where nobody sees who comes
=========================  ================================================================
"""

from django_electric.wakeup.lines import LineBuffer, batches, decode, encode, payloads
from django_electric.wakeup.locks import STANDBY_LOCK, WRITER_LOCK, is_locked
from django_electric.wakeup.names import socket_path
from django_electric.wakeup.road import Road

__all__ = [
    "STANDBY_LOCK",
    "WRITER_LOCK",
    "LineBuffer",
    "Road",
    "batches",
    "decode",
    "encode",
    "is_locked",
    "payloads",
    "socket_path",
]
