"""The pages of the console: what a person sees and presses, rendered here and kept current by small fragments.

    cookie ─► session ─► requests ─► routes_… ─► …_view (pure) ─► rendering ─► templates
                                        │                            ▲
                                        └─ Services, as REST uses    live: the parts that changed since the browser asked last

A page is a plain document: links, and forms that are answered with a redirect or with the page again. htmx does two things only: it asks
every second for the parts of a page that changed, and opens a dialog without leaving the list. Nothing that changes something is a GET, and
each such form carries a token and is refused where it comes from another site.

No page keeps anything in this process, so that any replica can answer any request and a restart is not noticed.
"""
