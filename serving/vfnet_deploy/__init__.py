"""Another build of a model in place of the one that serves, without a lost request.

`deploying` is the way from a checkpoint to the public name, and back; `comparing` sets the two side by side;
`running_server` is the server that does the loading. The server reads what is wanted of it from a file
(`vfnet_serve.deployments`), so that it serves one whole model whoever is killed.
"""
