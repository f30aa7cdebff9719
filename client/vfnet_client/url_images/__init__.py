"""Images by URL, for the gateway, the client and batch scoring alike: checked addresses, bounded sizes and times."""
