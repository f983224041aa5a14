"""Published models on disk: what files a crowd is made of, which is current, and that none was changed."""
