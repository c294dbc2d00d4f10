"""Images that follow their layouts from edit to edit."""
