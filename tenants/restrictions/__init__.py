"""Access to single objects: by default whoever has the verb; a restricted one is for those whom its rules name."""
