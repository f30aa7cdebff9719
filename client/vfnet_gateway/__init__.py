"""The HTTP gateway: answers like the AzureML endpoint its callers leave, in front of Triton."""
