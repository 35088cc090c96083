"""Child processes that never outlive the run: started, watched, restarted, stopped."""
