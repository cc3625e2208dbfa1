"""Paper: a venue's public market as it is, and an exchange of ours in which orders meet it. Whoever trades on it cannot tell it
from an account at the venue: the gateway sends its requests, hears its private stream and asks it what it missed.

- ``place`` where a venue's paper exchange is, and the keys to it
- ``listing`` definitions as the exchange lists them
- ``market`` the books of the tape, in the exchange
- ``worker`` the process: the simulated exchange with a live market in the place of a capture
"""
