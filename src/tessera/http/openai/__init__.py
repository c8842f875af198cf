"""OpenAI's routes. They share one handler: what differs between surfaces is the domain's business."""
