"""What notebooks show: pictures, tables and panels. The only place that knows widgets and plots."""
