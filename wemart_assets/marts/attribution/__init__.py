"""App events and the campaigns behind their users: daily reports, each also available over any range of days."""
