"""App events and the campaigns behind their users: nine daily reports, each also a function over any range of days."""
