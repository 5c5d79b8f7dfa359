"""The console: the cleanups and the protected VMs over HTTP, for programs and, in `pages`, for people.

    caller's token ─► identity ─► access_review ─┬─► survey ─► cards      what the appliances show, by set queries, shared
                                                 ├─► plans                what a cleanup of one VM would do, now
                                                 └─► client (caller's own token) ─► the two custom resources

Reads of an appliance are made with the console's own rights, after the caller's were reviewed; every write is made with the caller's
token, so that RBAC and the admission policies judge the caller and nobody else. Nothing here changes an appliance: the operator does.
Services know nothing of HTTP; `routes_…` are thin, and errors become answers in `problems` alone.
"""
