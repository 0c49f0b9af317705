"""What people look at: pictures, and the page that holds them."""
