"""Word lists shared by the generators."""

GIRLS = ("Ana Mia Lily Emma Zoe Nora Ella Ivy Ruby Alice Clara Sofia Maria Julia Lucy Eva Maya Rosa Olga Hana Lena Ada "
         "Grace Anna Sara Laura Iris Nina Vera Marta Elena Irene Yuki Aisha Fatima Leila Priya Mei Ines Carmen Greta "
         "Linda Kate Jane Mary Amy Chloe Daisy Helen Ruth").split()
BOYS = ("Tom Ben Max Leo Sam Jack Noah Finn Oscar Hugo Adam Luca Marco Paul Peter Felix Theo Ivan Omar Ali Ravi Kenji "
        "Pablo Diego Jan Karl Otto Emil Erik Lars Hans Pierre Louis Henry George David Daniel John James Mark Luke Bob "
        "Tim Nick Alex Chris Mike Anton Viktor Arjun").split()
NAMES = GIRLS + BOYS
ANIMALS = ("fox bear rabbit mouse cat dog owl frog duck hedgehog squirrel turtle lion elephant monkey penguin horse cow pig "
           "sheep goat wolf deer otter beaver badger mole crow sparrow whale dolphin bee ant snail tiger zebra giraffe camel "
           "parrot swan hen kitten puppy dragon robot").split()
COLOURS = "red blue green yellow orange purple pink brown black white grey silver gold violet".split()
FRUITS = "apple banana pear plum cherry orange grape lemon peach melon mango kiwi fig strawberry".split()
FOODS = ("soup bread cheese pizza rice pasta cake honey salad fish eggs pancakes noodles curry chocolate toast "
         "beans potatoes").split()
THINGS = ("ball kite lamp book hat key coin bell boat drum map shell feather stone basket flower candle clock "
          "ring scarf bucket whistle mirror button").split()
PLURALS = {"apple": "apples", "pear": "pears", "plum": "plums", "lemon": "lemons", "egg": "eggs", "book": "books",
           "coin": "coins", "marble": "marbles", "stamp": "stamps", "shell": "shells", "pencil": "pencils", "nut": "nuts",
           "cookie": "cookies", "flower": "flowers", "card": "cards", "ball": "balls", "sticker": "stickers", "key": "keys"}
CITIES = ("Rome Paris London Berlin Madrid Vienna Oslo Tokyo Cairo Athens Lisbon Dublin Prague Warsaw Delhi Lima Boston "
          "Chicago Toronto Sydney Milan Munich Lyon Porto Kyoto Geneva Zurich Bergen Dallas Seattle").split()
HOBBIES = "painting reading swimming singing dancing cooking chess football running climbing gardening drawing fishing".split()
JOBS = "teacher doctor baker farmer nurse pilot painter writer singer cook engineer gardener driver student".split()
PETS = "dog cat rabbit hamster parrot goldfish turtle pony".split()

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "England": "London", "Japan": "Tokyo",
    "China": "Beijing", "Russia": "Moscow", "Egypt": "Cairo", "Greece": "Athens", "Portugal": "Lisbon",
    "Ireland": "Dublin", "Austria": "Vienna", "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki",
    "Denmark": "Copenhagen", "Poland": "Warsaw", "Hungary": "Budapest", "Belgium": "Brussels", "India": "New Delhi",
    "Canada": "Ottawa", "Australia": "Canberra", "Brazil": "Brasilia", "Argentina": "Buenos Aires", "Peru": "Lima",
    "Chile": "Santiago", "Mexico": "Mexico City", "Cuba": "Havana", "Kenya": "Nairobi", "Turkey": "Ankara",
    "Switzerland": "Bern", "the Netherlands": "Amsterdam", "the Czech Republic": "Prague", "Ukraine": "Kyiv",
    "Iceland": "Reykjavik", "South Korea": "Seoul", "Thailand": "Bangkok", "Vietnam": "Hanoi", "Morocco": "Rabat",
    "the United States": "Washington", "Scotland": "Edinburgh", "Romania": "Bucharest", "Croatia": "Zagreb"}
OPPOSITES = {
    "hot": "cold", "big": "small", "fast": "slow", "up": "down", "day": "night", "good": "bad", "happy": "sad",
    "high": "low", "long": "short", "old": "young", "new": "old", "light": "dark", "hard": "soft", "wet": "dry",
    "full": "empty", "open": "closed", "early": "late", "strong": "weak", "rich": "poor", "loud": "quiet",
    "left": "right", "in": "out", "on": "off", "yes": "no", "first": "last", "clean": "dirty", "near": "far",
    "wide": "narrow", "thick": "thin", "true": "false", "easy": "difficult", "heavy": "light", "deep": "shallow",
    "sweet": "sour", "black": "white", "before": "after", "above": "below", "inside": "outside", "always": "never",
    "begin": "end", "win": "lose", "buy": "sell", "push": "pull", "love": "hate"}
THING_COLOURS = {
    "the sky": "blue", "grass": "green", "snow": "white", "a banana": "yellow", "a lemon": "yellow", "blood": "red",
    "coal": "black", "the sea": "blue", "a leaf": "green", "a carrot": "orange", "milk": "white", "chocolate": "brown",
    "the sun": "yellow", "a strawberry": "red", "a tomato": "red", "a frog": "green", "an elephant": "grey",
    "a polar bear": "white", "a crow": "black", "a swan": "white", "gold": "yellow", "an orange": "orange",
    "a cloud": "white", "a fire truck": "red", "a flamingo": "pink", "a plum": "purple", "a mouse": "grey", "a fox": "red"}
SOUNDS = {
    "dog": "woof", "cat": "meow", "cow": "moo", "sheep": "baa", "duck": "quack", "pig": "oink", "horse": "neigh",
    "lion": "roar", "owl": "hoot", "frog": "ribbit", "bee": "buzz", "snake": "hiss", "mouse": "squeak", "hen": "cluck",
    "crow": "caw", "wolf": "howl"}
LEGS = {"dog": 4, "cat": 4, "cow": 4, "horse": 4, "spider": 8, "bird": 2, "duck": 2, "ant": 6, "bee": 6, "fish": 0,
        "snake": 0, "chicken": 2, "sheep": 4, "elephant": 4, "human": 2, "octopus": 0, "beetle": 6, "mouse": 4}
YOUNG = {"dog": "puppy", "cat": "kitten", "cow": "calf", "horse": "foal", "sheep": "lamb", "duck": "duckling",
         "hen": "chick", "pig": "piglet", "bear": "cub", "lion": "cub", "frog": "tadpole", "goat": "kid", "deer": "fawn"}
KINDS = {"dog": "animal", "rose": "flower", "oak": "tree", "apple": "fruit", "carrot": "vegetable", "hammer": "tool",
         "violin": "musical instrument", "sparrow": "bird", "salmon": "fish", "ant": "insect", "chair": "piece of furniture",
         "car": "vehicle", "iron": "metal", "red": "colour", "tulip": "flower", "banana": "fruit", "cat": "animal",
         "eagle": "bird", "bee": "insect", "train": "vehicle", "table": "piece of furniture", "drum": "musical instrument",
         "gold": "metal", "pine": "tree", "onion": "vegetable", "saw": "tool", "shark": "fish", "blue": "colour"}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
NUMBER_WORDS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
                "seventeen eighteen nineteen twenty").split()
DEFINITIONS = {
    "the sun": "The sun is a star that gives light and heat to the Earth.",
    "the moon": "The moon is a round body of rock that goes around the Earth.",
    "water": "Water is a clear liquid that all living things need.",
    "rain": "Rain is water that falls from the clouds.",
    "snow": "Snow is frozen water that falls as white flakes.",
    "a river": "A river is a long stream of water that flows to the sea.",
    "a mountain": "A mountain is a very high piece of land.",
    "a tree": "A tree is a tall plant with a trunk of wood, branches and leaves.",
    "a computer": "A computer is a machine that follows instructions and works with numbers.",
    "a book": "A book is a set of pages with words or pictures.",
    "iron": "Iron is a strong grey metal.",
    "ice": "Ice is frozen water.",
    "a friend": "A friend is someone who likes you and helps you.",
    "a library": "A library is a place where you can read and borrow books.",
    "a school": "A school is a place where people learn.",
    "the Earth": "The Earth is the planet that we live on.",
    "a star": "A star is a huge ball of hot gas that shines in the sky.",
    "a cloud": "A cloud is made of many tiny drops of water in the sky.",
    "a bridge": "A bridge is a way over a river or a road.",
    "music": "Music is sound that people make because it is beautiful.",
    "a fox": "A fox is a small wild animal with red fur and a bushy tail.",
    "a bear": "A bear is a big wild animal with thick fur.",
    "an owl": "An owl is a bird that hunts at night.",
    "a bee": "A bee is an insect that makes honey."}
