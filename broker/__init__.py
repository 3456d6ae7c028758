"""The contract between the services, and the plumbing they share."""

import warnings

# eventlet announces its retirement at every import; nobody who runs the platform can do anything about it.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
