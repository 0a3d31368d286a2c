// Holds the headers that are precompiled for the tests (Ferrum.cmake).
int main() {}
