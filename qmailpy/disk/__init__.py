"""What is kept: the queue, mailboxes, control files, and the only fsync."""
