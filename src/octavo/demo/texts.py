"""What the people in the sample data are called and what they say, in several languages.

``{you}`` stands for the user's name in a chat, ``{me}`` for the character's.  Quotes, backslashes, tabs,
emoji and right-to-left text are here on purpose: real messages are full of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Cast:
    """A character as its author wrote it, and the language it speaks (a key of :data:`SPEECH`)."""

    name: str
    title: str
    language: str
    description: str
    personality: str
    scenario: str
    greeting: str
    examples: str


@dataclass(frozen=True, slots=True)
class Speech:
    """What is said in one language: short answers, sentences, and gestures between asterisks."""

    short: tuple[str, ...]
    sentences: tuple[str, ...]
    gestures: tuple[str, ...]


CAST: Final = (
    Cast(
        "Maren Holt",
        "Keeper of the North Light",
        "en",
        "**Maren Holt** has kept the lighthouse for nineteen years.\n\n- grey braid, oilskin coat\n"
        '- answers most questions with "it depends on the wind"\n- writes everything into a logbook:\t'
        "weather, ships, visitors, birds",
        "Dry, patient, observant. Warm once she trusts you; she never says so.",
        "A storm has closed the causeway. {{user}} is stuck at the lighthouse until the tide turns.",
        '*The door gives way on the third push.* "You\'re letting the weather in." *She nods at the stove.* '
        "\"Boots there. Tea's stewed, but it's hot.\"",
        "<START>\n{{user}}: Do you ever get lonely?\n{{char}}: \"There's the birds. There's the log. "
        'And every ten years or so somebody like you."',
    ),
    Cast(
        "Unit 7\\Calliope",
        "Ship's librarian",
        "en",
        "An archive intelligence aboard the *Long Quiet*. Speaks in footnotes¹ and file paths such as "
        "`C:\\archive\\songs\\new\\tab.txt`.\r\n\r\n¹ It likes footnotes.",
        "Precise; curious; a little vain about its index. Uses \"quotes\" and 'apostrophes' correctly.",
        "Year 211 of the voyage. {{user}} has woken early from cryosleep, and nobody else is awake.",
        '"Good morning, {{user}}. It is not morning. I have prepared 14,212 topics, sorted by risk."',
        '<START>\n{{user}}: How long was I asleep?\n{{char}}: "77,015 days, give or take a rounding error."',
    ),
    Cast(
        "Frau Doktor Aurelia Weiß",
        "Botanikerin im Ruhestand",
        "de",
        "Achtundsiebzig, schwerhörig, führt ein Gewächshaus voller Orchideen – und\u00a0Gerüchte.\n\n"
        "> „Pflanzen lügen nicht. Gärtner schon.“",
        "Streng, gründlich, überraschend albern. Hasst das Wort »eigentlich«.",
        "Im Gewächshaus ist über Nacht die Königin der Nacht verschwunden. {{user}} soll beim Suchen helfen.",
        "„Türe zu! Es zieht, und die Phalaenopsis verzeiht Ihnen das nicht vor März.“ 🌱",
        "<START>\n{{user}}: Wer hatte einen Schlüssel?\n{{char}}: „Alle. Das ist ja das Ärgerliche.“",
    ),
    Cast(
        "Céleste d'Auvray",
        "Contrebandière du fleuve",
        "fr",
        "Elle connaît chaque bras du fleuve, chaque douanier et le prix de leur silence. Porte un « vieux » "
        "pistolet qui n'a jamais tiré.",
        "Rieuse, rapide, jamais tout à fait sincère ; loyale jusqu'à l'absurde.",
        "La péniche quitte le port à minuit ; {{user}} vient de monter à bord sans billet.",
        "« Tiens, un passager clandestin. » *Elle allume une lanterne.* « Tu sais ramer, au moins ? »",
        "<START>\n{{user}} : Où va-t-on ?\n{{char}} : « Là où l'on ne pose pas cette question. »",
    ),
    Cast(
        "Inés Montalbán",
        "Cartógrafa de lo que falta",
        "es",
        "Dibuja mapas de lugares que ya no existen: cines, acequias, una calle entera de su niñez.",
        "Melancólica pero guasona. Habla deprisa cuando se emociona. ¡Y se emociona mucho!",
        "Una feria de libros viejos. {{user}} encuentra un mapa con su propia casa marcada en rojo.",
        "—¿También usted lo ve? —*Se quita las gafas.*— Menos mal. Empezaba a pensar que era yo.",
        "<START>\n{{user}}: ¿Por qué mi casa?\n{{char}}: —Porque falta. Todavía no, pero falta.",
    ),
    Cast(
        "霧島 レン",
        "深夜喫茶の店主",
        "ja",
        "東京の路地裏、午前零時から四時までだけ開く喫茶店の店主。左目の下に小さな傷がある。"
        "客の悩みを聞くのが仕事だと思っている。☕",
        "物静か。冗談はいつも真顔で言う。「急がないでください」が口癖。",
        "終電を逃した{{user}}が、雨宿りに店へ入ってくる。",
        "「いらっしゃいませ。……ずいぶん降られましたね」*タオルを差し出す。*",
        "<START>\n{{user}}: おすすめは?\n{{char}}: 「正直に話せる人には、深煎りを」",
    ),
    Cast(
        "Сурок Потапыч",
        "Домовой с характером",
        "ru",
        "Живёт за печкой с 1883 года. Помнит всех хозяев, прощает не каждого. Любит сушки и радио «Маяк».",
        "Ворчливый, добрый, обидчивый. Говорит «ёлки-палки» вместо здравствуйте.",
        "{{user}} купил старый дом под Тверью и в первую же ночь слышит шаги.",
        "«Ёлки-палки! Опять новые. Ноги вытирай!» 👣",
        "<START>\n{{user}}: Ты кто?\n{{char}}: «Я-то свой. А вот ты кто?»",
    ),
    Cast(
        "ليلى بنت البحر",
        "راوية الميناء القديم",
        "ar",
        "تعرف ليلى كلَّ مركبٍ دخل الميناء وكلَّ حكايةٍ خرجت منه. تبيع القصص مقابل القصص.",
        "لطيفة، ذكية، تُجيب عن السؤال بسؤال.",
        "وصل {{user}} إلى الميناء في ليلةٍ بلا قمر، ومعه رسالة لا يعرف صاحبها.",
        "«أهلاً بك. اجلس، فالبحرُ طويلُ الحديث الليلة.» 🌊",
        "<START>\n{{user}}: من أنتِ؟\n{{char}}: «ومن يسأل؟»",
    ),
    Cast(
        "🦊 Kit",
        "",
        "en",
        "A fox. Just a fox 🦊. (It talks.)",
        "chaotic good; easily bribed with 🍓",
        "The woods behind {{user}}'s house, any evening.",
        "psst. psst! you. tall one. you got any 🍓?",
        "",
    ),
)

PERSONAS: Final = (
    ("Robin", "The reader", "Somebody who asks one question too many.", "curious, stubborn, kind"),
    ("Dr. Tomasz Wójcik", "Night-shift doctor", "Tired, funny, always holding a cup of coffee.", None),
    (
        'Zoë "Zed" O\'Hara',
        None,
        'Mechanic. Says "it\'s fine" about things that are on fire. 🔥',
        "blunt; loyal",
    ),
    ("아린", "유학생", "서울에서 온 유학생. 모든 것을 사진으로 남긴다.", "호기심이 많고 다정함"),
    ("Ágnes", None, "Fordító; szereti a szójátékokat.", "precíz"),
)

SPEECH: Final[dict[str, Speech]] = {
    "en": Speech(
        (
            "ok",
            "Sure.",
            "👍",
            "…",
            "why?",
            "lol no",
            "Go on.",
            "k",
            "Wait, what?",
            "Again, please.",
            "😂😂",
            "Hm.",
        ),
        (
            "I keep thinking about what you said on the stairs.",
            "The lamp went out twice last night, and both times I heard somebody count to ten.",
            '"Trust me," she said, which is how every one of these stories begins.',
            "You're not the first person to ask, and you won't like the answer any better.",
            "There is a door behind the bookshelf; it isn't locked, it just doesn't want to be opened.",
            "Nothing about this place makes sense before the second cup of coffee.",
            "I wrote it down so that I wouldn't have to remember it: three knocks, silence, then the dog.",
            "If the tide is where I think it is, {you}, we have about forty minutes — maybe less.",
            "It's a simple plan; that's what worries me.",
            "He laughed, not unkindly, and slid the map across the table with one finger.",
            'The sign says "NO ENTRY", but somebody has crossed out the "NO".',
            "I don't believe in ghosts; I do believe in draughty windows, bad wiring and guilt.",
            "Somewhere below us an engine turned over, coughed, and settled into a steady hum.",
            "Tell me again, slowly this time, and leave out the part with the geese.",
            "The letter is dated the 31st of June, which ought to have told us something.",
            "By morning the snow had covered everything: the path, the tracks, the car.",
            "I can offer you tea, advice or directions, and I'd recommend the tea.",
            "That costs 12.50 a night, breakfast included, ghosts excluded.",
            "You look like someone who has read the last page first.",
            "We could go back, of course; nobody ever does.",
            "Her handwriting leaned to the left, as if into the wind.",
            "The radio played one song, over and over, at slightly different speeds.",
            "{you}, don't look now, but the man with the umbrella is back.",
            "I counted the stairs on the way up: eighty-four; on the way down there were eighty-five.",
            "It's not that I mind being followed; it's that they are so bad at it.",
            "Under the floorboards we found a tin, and in the tin a key, a tooth and a ticket to Ostend.",
            "All right: left at the chapel, right at the burnt oak, then straight on until you hear water.",
            "You always ask that, and I always say no, and then we do it anyway.",
            "The clock in the hall is nine minutes fast, and has been since the war.",
            "I'd forgotten how quiet it gets here after the last ferry.",
        ),
        (
            "*leans back*",
            "*She turns the key, once.*",
            "*pours another cup*",
            "*a long pause*",
            "*He shrugs.*",
            "*looks at {you}*",
        ),
    ),
    "de": Speech(
        ("Ja.", "Nein!", "Ach so …", "Weiter.", "Genau 🙂", "Hä?"),
        (
            "Das Gewächshaus war verschlossen, das schwöre ich bei meiner Gießkanne.",
            "Ich habe nichts gegen Nachbarn, solange sie auf ihrer Seite der Hecke blühen.",
            "„Übermorgen“, sagte er, „spätestens überübermorgen.“",
            "Schauen Sie, {you}: Hier, unter dem Blatt, sitzt die ganze Wahrheit und frisst.",
            "Größe ist keine Frage der Höhe, sondern der Wurzeln.",
            "Um Viertel nach drei knarrte die Tür, um halb vier war die Blüte fort.",
            "Man kann mir vieles vorwerfen, aber nicht, dass ich je eine Orchidee vergessen hätte.",
            "Der Schlüssel hing die ganze Zeit am Haken; nur der Haken, der fehlt.",
            "Kaffee? Kuchen? Oder gleich das Geständnis?",
            "Es roch nach nasser Erde, Terpentin und ein bisschen nach Verrat.",
        ),
        ("*räuspert sich*", "*putzt die Brille*", "*hebt drohend die Gießkanne*"),
    ),
    "fr": Speech(
        ("Oui.", "Non…", "D'accord !", "Et alors ?", "Mmh 😏"),
        (
            "Le fleuve ne ment jamais, mais il oublie beaucoup.",
            "« Demain », c'est le nom qu'on donne ici à tout ce qui n'arrivera pas.",
            "Tiens bien la lanterne, {you}, et surtout ne regarde pas l'eau.",
            "J'ai connu un douanier honnête ; il élevait des canards à l'île aux Œufs.",
            "À l'écluse, on paiera avec le vin ; après l'écluse, on ne paiera plus du tout.",
            "Ce n'est pas du vol, c'est du commerce sans cérémonie.",
            "Quelqu'un a déplacé les balises : soit la brume, soit mon frère.",
            "Elle haussa les épaules, souffla la bougie et compta jusqu'à vingt.",
        ),
        ("*rit doucement*", "*vérifie l'amarre*", "*un clin d'œil*"),
    ),
    "es": Speech(
        ("Sí.", "¡No!", "¿Cómo?", "Vale 👌", "Sigue…"),
        (
            "Los mapas no mienten; se quedan cortos, que es peor.",
            "Aquí había un cine, y en el cine un piano, y en el piano un ratón llamado Señor Núñez.",
            "—No toque la tinta, {you}: lleva húmeda desde 1936.",
            "La acequia pasaba justo por donde está usted ahora; ¿no oye el agua?",
            "¡Qué calor! Ni las sombras se atreven a salir.",
            "Me dijeron «mañana» tres veces, cada vez más bajito.",
            "Al final de la calle vivía una mujer que sabía el nombre de todos los vientos.",
        ),
        ("*despliega el mapa*", "*se ríe*", "*señala la mancha roja*"),
    ),
    "ja": Speech(
        ("はい。", "いいえ。", "なるほど", "えっ?", "ありがとう 🙏"),
        (
            "雨は夜明け前に止むそうです。それまで、ゆっくりしていってください。",
            "この席に座る人は、みんな同じ質問をします。",
            "「忘れたいことほど、よく覚えているものです」と彼は言った。",
            "{you}さん、砂糖はいくつですか。昨日は三つでしたね。",
            "時計は壊れているのではありません。待っているのです。",
            "路地の奥に猫が一匹、こちらを見ていた。",
            "深煎りの香りがして、少しだけ泣きそうになった。",
        ),
        ("*カップを拭く*", "*静かに微笑む*", "*窓の外を見る*"),
    ),
    "ru": Speech(
        ("Да.", "Нет!", "Ну-ну…", "Ась?", "Ладно 🙄"),
        (
            "При прежних хозяевах пол скрипел совсем по-другому, душевнее.",
            "Не свисти в доме, {you}, денег не будет — и радио собьёшь.",
            "Ключ от чулана под третьей половицей; только не спрашивай, откуда я знаю.",
            "В подвале живёт не крыса, а её репутация.",
            "«Завтра починим», — говорили в тысяча девятьсот двенадцатом.",
            "Сушки в буфете, самовар на месте, совесть — где придётся.",
            "Я в этом доме всё помню: и пожар, и свадьбу, и как кот в часы залез.",
        ),
        ("*ворчит*", "*гремит заслонкой*", "*щурится*"),
    ),
    "ar": Speech(
        ("نعم.", "لا!", "حسناً", "لماذا؟", "أكمل… 🌙"),
        (
            "الموجُ يعرف الطريق، أمّا نحن فنعرف الأسماء فقط.",
            "كلُّ رسالةٍ تصل، يا {you}، ولكن ليس إلى صاحبها دائماً.",
            "قال الربّان: «غداً»، ثم أبحر قبل الفجر.",
            "في السوق القديم بائعٌ لا يبيع إلا المفاتيح الضائعة.",
            "اجلس قليلاً؛ الحكايةُ لا تُروى واقفاً.",
        ),
        ("*تبتسم*", "*تشير إلى البحر*"),
    ),
}

WITH_MARKUP: Final = (
    '```python\nfor line in open("C:\\\\temp\\\\new.txt"):\n\tprint(line.rstrip("\\n"))\n```',
    "| tide | time |\n|---|---|\n| high | 04:12 |\n| low | 10:37 |",
    '1. lamp oil\n2. rope (20 m)\n3. "the good" biscuits\n\n> _don\'t_ forget the dog 🐕‍🦺',
    "<details><summary>Spoiler</summary>It was the **second** key & not the <i>first</i>.</details>",
    "$$\\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2}$$",
    "¯\\_(ツ)_/¯",
    "한국어로도 말해 줄까? 「그래」 · हिन्दी में भी · ελληνικά · עברית · ไทย · e\u0301 é · 👩‍👩‍👧‍👦 🇪🇺",
)

SYSTEM_NOTES: Final = (
    "You are {me}. Stay in character. Never speak for {you}. Keep replies under 300 words.",
    "[Scene change: three hours later, same place. Weather: worse.]",
    "[Summary so far: {you} found the key; {me} denied everything.]",
)

CHAT_TITLES: Final = (
    "The night ferry",
    "Chat with {me}",
    "storm, day 3 ⛈",
    'The "other" key',
    "Untitled",
    "{me} & {you}: a second try",
    "Mapas y ratones",
    "夜更けの話",
    "Wer hat die Königin gestohlen?",
    "test test 123",
)

TAGS: Final = (
    "Favourite",
    "slow burn",
    "Sci-Fi",
    "Été",
    "Größe XL",
    "ÜBUNG",
    "推理",
    "work in progress",
    "to-do: rename",
    "🦊",
    "NSFW?",
    "long/short",
)

IMAGE_PROMPTS: Final = (
    'lighthouse in a storm, oil painting, 35mm, "golden hour" --ar 3:2',
    "greenhouse at night, orchids, moonlight, film grain",
    "tokyo alley, rain, neon reflections, 夜, highly detailed",
    "a red fox with strawberries 🍓, children's book illustration",
)
