"""What both doors share: checks of a request, admission, and problem documents."""
