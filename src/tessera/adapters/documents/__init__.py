"""Documents as files people print. The library that draws them is imported with the first one."""
