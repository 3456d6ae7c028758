"""What a service is without this project: Nameko as its documentation shows it, for comparison."""
