"""The readers: answers /v1/shape and /v1/health. The only part of the package that is asynchronous."""
