"""Who was here, when, for how long, in which community: from server log lines to daily sessions."""
