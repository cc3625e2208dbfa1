"""The order gateway: the one way to a venue. One process per account.

    commands (orders.intents, gRPC) ─▶ decide ─▶ write-ahead (orders.events) ─▶ venue
    venue's answers and events ─▶ venue.private ─▶ facts (orders.events, account.events, portfolio.inbox)

Pure: ``state`` (folds of the inputs), ``checks``, ``decide``, ``translate`` (the venue's words into facts). With a
clock and a network: ``tape``, ``feed``, ``lease``, ``engine``, ``recover``, ``controller``, ``service``; put together
in ``worker``.
"""
