"""What is kept in files: models and checkpoints in one container, and by what their data are known again."""
