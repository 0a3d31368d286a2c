// The built-in page at "/": what the server is doing, and a small chat. One self-contained HTML document.
#pragma once

#include <string>

namespace ferrum {

std::string web_page();

}  // namespace ferrum
