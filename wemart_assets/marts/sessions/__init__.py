"""From server log lines to daily sessions: who visited which community, when and for how long."""
